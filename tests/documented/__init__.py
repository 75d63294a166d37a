"""Behaviour that Django documents, a module per page of its documentation; tests and wording are ours."""
