"""What runs the sections of the course, and makes pages and notebooks of them."""
