//! Batch AEAD over packets: AES-GCM for ESP, a whole burst in one call.
