"""Machine code that is made for a program: chains of operations that go over memory once."""
