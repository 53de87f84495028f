"""The local protocol over a unix socket: messages, server side, client side."""
