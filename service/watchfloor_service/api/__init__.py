"""The HTTP API: who may call, what is taken in, what is answered."""
