//! Our blocking client.

mod produce;
