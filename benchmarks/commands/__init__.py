"""The subcommands of `lamina bench`."""
