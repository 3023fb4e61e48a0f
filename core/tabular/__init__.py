"""Tables: the recipe of a network that wins on them by its defaults, and the report of it."""
