/*
 * What bindgen reads, and what shim.c defines.
 *
 * DPDK's hot functions are static inline, and many constants are function-like macros: neither
 * can be bound. Each function here is one such call and nothing else; hot ones take a burst, so
 * that the call costs nothing measurable per packet.
 */
#ifndef GREYHOUND_DPDK_SHIM_H
#define GREYHOUND_DPDK_SHIM_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <rte_ring.h>

int shim_errno(void);
uint32_t shim_lcore_id(void);
uint64_t shim_tsc(void);

uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);

/* As rte_pktmbuf_pool_create(), but packs buffers across small pages where it may. */
struct rte_mempool *shim_pktmbuf_pool_create(const char *name, uint32_t count, uint32_t cache,
					     uint16_t data_room, int socket);

/* Allocated packets are empty and start `headroom` octets into their buffer. */
struct rte_mbuf *shim_pktmbuf_alloc(struct rte_mempool *pool, uint16_t headroom);
/* All or nothing: true if `count` packets were written. */
bool shim_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **packets, uint32_t count,
			     uint16_t headroom);
void shim_pktmbuf_free(struct rte_mbuf *packet);
void shim_pktmbuf_free_bulk(struct rte_mbuf **packets, uint32_t count);
/* Frees one segment, whatever it links to. */
void shim_pktmbuf_free_seg(struct rte_mbuf *segment);
int shim_pktmbuf_linearize(struct rte_mbuf *packet);

/*
 * Flushes the caller's own cache; true if then every object is in the common store, where no
 * thread that gave it back touches it any more.
 */
bool shim_mempool_settled(struct rte_mempool *pool);
/* Flushes the caller's own cache of every pool. */
void shim_mempool_flush_all(void);

uint32_t shim_ring_sp_enqueue_burst(struct rte_ring *ring, void *const *objects, uint32_t count);
uint32_t shim_ring_sc_dequeue_burst(struct rte_ring *ring, void **objects, uint32_t count);
uint32_t shim_ring_count(const struct rte_ring *ring);

/*
 * Where Rust reads mbuf fields without a call. shim.c asserts them as the C compiler lays them
 * out, lib.rs as Rust does.
 */
enum {
	SHIM_MBUF_SIZE = 128,
	SHIM_MBUF_BUF_ADDR = 0,
	SHIM_MBUF_DATA_OFF = 16,
	SHIM_MBUF_REFCNT = 18,
	SHIM_MBUF_NB_SEGS = 20,
	SHIM_MBUF_OL_FLAGS = 24,
	SHIM_MBUF_PKT_LEN = 36,
	SHIM_MBUF_DATA_LEN = 40,
	SHIM_MBUF_VLAN_TCI = 42,
	SHIM_MBUF_HASH = 44,
	SHIM_MBUF_BUF_LEN = 54,
	SHIM_MBUF_NEXT = 64,
	SHIM_MBUF_TX_OFFLOAD = 72,
	SHIM_MBUF_L3_LEN_SHIFT = RTE_MBUF_L2_LEN_BITS,
};

static const uint64_t SHIM_MBUF_F_RX_VLAN_STRIPPED = RTE_MBUF_F_RX_VLAN_STRIPPED;
static const uint64_t SHIM_MBUF_F_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;
static const uint64_t SHIM_MBUF_F_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t SHIM_MBUF_F_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t SHIM_MBUF_F_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t SHIM_MBUF_F_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t SHIM_MBUF_F_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;
static const uint64_t SHIM_MBUF_F_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
static const uint64_t SHIM_MBUF_F_TX_IP_CKSUM = RTE_MBUF_F_TX_IP_CKSUM;
static const uint64_t SHIM_MBUF_F_TX_IPV4 = RTE_MBUF_F_TX_IPV4;
static const uint64_t SHIM_MBUF_F_TX_VLAN = RTE_MBUF_F_TX_VLAN;
static const uint64_t SHIM_MBUF_F_EXTERNAL = RTE_MBUF_F_EXTERNAL;
static const uint64_t SHIM_MBUF_F_INDIRECT = RTE_MBUF_F_INDIRECT;

static const uint64_t SHIM_RX_OFFLOAD_VLAN_STRIP = RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
static const uint64_t SHIM_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t SHIM_RX_OFFLOAD_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t SHIM_RX_OFFLOAD_TCP_CKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t SHIM_RX_OFFLOAD_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t SHIM_RX_OFFLOAD_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t SHIM_TX_OFFLOAD_VLAN_INSERT = RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
static const uint64_t SHIM_TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_TCP_CKSUM = RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
static const uint64_t SHIM_RSS_IP_UDP_TCP = RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP;
static const uint32_t SHIM_MQ_RX_NONE = RTE_ETH_MQ_RX_NONE;
static const uint32_t SHIM_MQ_RX_RSS = RTE_ETH_MQ_RX_RSS;
static const uint32_t SHIM_RING_SPSC_EXACT = RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ;
static const uint16_t SHIM_MAX_ETHPORTS = RTE_MAX_ETHPORTS;
static const uint32_t SHIM_RING_NAMESIZE = RTE_RING_NAMESIZE;
static const uint32_t SHIM_MEMPOOL_NAMESIZE = RTE_MEMPOOL_NAMESIZE;

#endif
