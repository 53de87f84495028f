"""The QA node: intake, review, certification."""
