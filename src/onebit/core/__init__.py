"""What every wing may use: registry, errors, progress, seeds, files. No torch in here."""
