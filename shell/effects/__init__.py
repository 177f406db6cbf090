"""The executors: exactly one for each class of action.  They choose nothing."""
