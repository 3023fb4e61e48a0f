"""The course, section by section: each file is a program over the public interface alone."""
