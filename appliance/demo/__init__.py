"""A whole batch on simulated devices, with scripted or real hands."""
