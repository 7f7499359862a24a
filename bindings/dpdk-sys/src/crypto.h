/*
 * DPDK's cryptodev as the dpdk crate needs it: AES-GCM with a nonce of 12 octets and an ICV of
 * 16, in place, in bursts.
 */
#ifndef GREYHOUND_DPDK_CRYPTO_H
#define GREYHOUND_DPDK_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_crypto.h>
#include <rte_cryptodev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

enum {
	SHIM_GCM_NONCE_LEN = 12,
	SHIM_GCM_ICV_LEN = 16,
	/* Drivers and devices read the AAD, and some the nonce, in blocks of this size. */
	SHIM_GCM_BLOCK_LEN = 16,
};

static const uint32_t SHIM_CRYPTO_MAX_DEVS = RTE_CRYPTO_MAX_DEVS;
static const uint64_t SHIM_CRYPTO_FF_SYMMETRIC = RTE_CRYPTODEV_FF_SYMMETRIC_CRYPTO;
static const uint8_t SHIM_CRYPTO_SUCCESS = RTE_CRYPTO_OP_STATUS_SUCCESS;
static const uint8_t SHIM_CRYPTO_NOT_PROCESSED = RTE_CRYPTO_OP_STATUS_NOT_PROCESSED;
static const uint8_t SHIM_CRYPTO_AUTH_FAILED = RTE_CRYPTO_OP_STATUS_AUTH_FAILED;

/*
 * A crypto op: DPDK's two parts, and behind them the op's private area. Devices read nonce and
 * AAD there by the op's own address, long after the call that enqueued it.
 */
struct shim_crypto_op {
	struct rte_crypto_op op;
	struct rte_crypto_sym_op sym;
	uint8_t nonce[SHIM_GCM_BLOCK_LEN];
	uint8_t aad[SHIM_GCM_BLOCK_LEN];
	/* What to do; shim_crypto_enqueue_burst() tells DPDK. */
	struct rte_mbuf *packet;
	void *session;
	uint16_t offset;
	uint16_t length;
	/* What became of it, one of rte_crypto_op_status. */
	uint8_t status;
	/* The owner's. */
	size_t turn;
	uint64_t user;
};

/*
 * A pool of `count` ops, all of which are written to `ops`, so that the owner needs the pool no
 * more but to free it. NULL and rte_errno if it cannot be.
 */
struct rte_mempool *shim_crypto_ops_create(const char *name, uint16_t count,
					   struct shim_crypto_op **ops);

/* Whether the device does AES-GCM with these lengths, in octets. */
bool shim_crypto_does_gcm(uint8_t device, uint16_t key_len, uint16_t aad_len);
/* A session of the device; NULL and rte_errno if it cannot be. The key is not kept here. */
void *shim_crypto_session_create(uint8_t device, struct rte_mempool *pool, bool encrypt,
				 const uint8_t *key, uint16_t key_len, uint16_t aad_len);

/*
 * Enqueues from the front, and returns how many the driver took. Of the first that it did not
 * take, `status` says whether it was refused, or only did not fit: NOT_PROCESSED then.
 */
uint16_t shim_crypto_enqueue_burst(uint8_t device, uint16_t queue, struct shim_crypto_op **ops,
				   uint16_t count);
/* Writes up to `count` ops that are done, with their status, and returns how many. */
uint16_t shim_crypto_dequeue_burst(uint8_t device, uint16_t queue, struct shim_crypto_op **ops,
				   uint16_t count);

#endif
