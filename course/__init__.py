"""The course, section by section, over the public interface alone."""
