"""Operations: the table, and one module per way of computing them. Knows no device and no model."""
