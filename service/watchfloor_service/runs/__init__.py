"""One run over files: planned, taken in, waited for, written out."""
