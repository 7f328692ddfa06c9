"""European options: values, sensitivities, and what venues and regulators ask for short ones."""
