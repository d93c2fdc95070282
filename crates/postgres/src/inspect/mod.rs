//! What the catalogs say, as plain values.
