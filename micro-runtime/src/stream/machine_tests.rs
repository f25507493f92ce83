//! Two machines, back to back, over a wire that a test controls.

use super::*;
