"""How to talk to devices over serial lines. Knows bytes and millilitres, never a batch."""
