"""Store-and-forward agent; `sync.central` is the QA node."""
