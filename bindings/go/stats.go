//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"encoding/json"
	"time"
)

// Stats are the numbers of one client in this process, counted since its first use. docs/guide.md in the
// repository says more of each.
type Stats struct {
	// Requests are the requests to Consul, by kind.
	Requests map[string]uint64 `json:"requests"`
	// RaftWrites are the writing requests that cost the cluster an fsync.
	RaftWrites uint64 `json:"raft_writes"`
	// Unanswered are the requests without a usable answer.
	Unanswered uint64 `json:"unanswered"`
	// Retries are the pauses after which something was tried again.
	Retries uint64 `json:"retries"`
	// Waiting and Held are the locks that are being acquired, or are held, now.
	Waiting uint64 `json:"waiting"`
	Held    uint64 `json:"held"`
	// Lost are the locks that were lost.
	Lost uint64 `json:"lost"`
	// Connections are open now, ConnectionsPeak were at most.
	Connections     uint64 `json:"connections"`
	ConnectionsPeak uint64 `json:"connections_peak"`
	// Threads of the library for this client, now.
	Threads uint64 `json:"threads"`
	// Acquire is how long successful acquires took, Hold how long locks were held.
	Acquire Times `json:"acquire_us"`
	Hold    Times `json:"hold_us"`
	// JSON is the whole as the library says it; later versions may add fields.
	JSON []byte `json:"-"`
}

// Times are percentiles, which are at most an eighth too large.
type Times struct {
	Count              uint64
	P50, P90, P99, Max time.Duration
}

// UnmarshalJSON reads the library's object of microseconds.
func (t *Times) UnmarshalJSON(text []byte) error {
	var us struct{ Count, P50, P90, P99, Max uint64 }
	if err := json.Unmarshal(text, &us); err != nil {
		return err
	}
	in := func(us uint64) time.Duration { return time.Duration(us) * time.Microsecond }
	*t = Times{us.Count, in(us.P50), in(us.P90), in(us.P99), in(us.Max)}
	return nil
}

// MarshalJSON writes what [Times.UnmarshalJSON] reads: the library's object of microseconds.
func (t Times) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Count uint64 `json:"count"`
		P50   int64  `json:"p50"`
		P90   int64  `json:"p90"`
		P99   int64  `json:"p99"`
		Max   int64  `json:"max"`
	}{t.Count, t.P50.Microseconds(), t.P90.Microseconds(), t.P99.Microseconds(), t.Max.Microseconds()})
}

// DefaultStats gives the numbers of the default client. It asks nobody.
func DefaultStats() (Stats, error) {
	if incompatible != nil {
		return Stats{}, incompatible
	}
	said := statsText(nil)
	if said == "" {
		// The default client cannot be made. Why, says another that is made in the same way.
		client, err := NewClient()
		if err != nil {
			return Stats{}, err
		}
		defer client.Close()
		said = statsText(nil)
	}
	return parseStats(said)
}

// Stats gives the numbers of this client. It asks nobody.
func (c *Client) Stats() (Stats, error) {
	ptr, ok := c.handle.enter()
	if !ok {
		return Stats{}, closedClient("stats", "")
	}
	defer c.leave()
	return parseStats(statsText(ptr))
}

func statsText(client *C.consul_lock_client) string {
	return text(func(buf *C.char, n C.size_t) C.size_t { return C.consul_lock_client_stats(client, buf, n) })
}

func parseStats(said string) (Stats, error) {
	stats := Stats{JSON: []byte(said)}
	if err := json.Unmarshal(stats.JSON, &stats); err != nil {
		return Stats{}, &Error{Op: "stats", Code: ErrInternal, Message: "the statistics are not JSON", Err: err}
	}
	return stats, nil
}
