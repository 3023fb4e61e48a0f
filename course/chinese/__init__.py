"""The course's words in Chinese: a file for each section, and `common.toml` for all of them."""
