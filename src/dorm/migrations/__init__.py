"""Schema: tables of models, made and dropped."""
