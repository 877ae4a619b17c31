//! Programs that write texts: derived, they give at every step what the program over whole texts gives.

#[path = "decode/decoders.rs"]
mod decoders;
#[path = "decode/native.rs"]
mod native;
#[path = "decode/random.rs"]
mod random;
#[path = "decode/references.rs"]
mod references;
#[path = "decode/refused.rs"]
mod refused;
