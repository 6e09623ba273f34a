"""``python -m onebit.cli``."""

import sys

from onebit.cli.main import main

sys.exit(main())
