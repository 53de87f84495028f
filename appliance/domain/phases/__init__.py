"""One file a phase type: what it asks of people and devices, and when it is complete."""
