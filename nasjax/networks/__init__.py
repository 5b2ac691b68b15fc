"""Networks an architecture stands for, and the primitives they are built of."""
