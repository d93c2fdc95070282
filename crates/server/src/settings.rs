//! What the server was told, with no doubt left in it.
