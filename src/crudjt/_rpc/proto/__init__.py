"""The protocols, as .proto files, and the code that ``tools/generate_protos.py`` generates from them."""
