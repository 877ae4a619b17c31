//! Text reads back.
use super::*;
