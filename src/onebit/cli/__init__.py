"""The command ``onebit``: one file a command or a small family of them."""
