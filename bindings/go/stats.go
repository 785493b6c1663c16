//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"encoding/json"
	"time"
)

// Stats are the statistics of one client in this process, since its first use. docs/guide.md in the repository
// describes each field.
type Stats struct {
	// Requests are the requests to Consul, by kind.
	Requests map[string]uint64 `json:"requests"`
	// RaftWrites counts the writing requests. Each costs the cluster an fsync.
	RaftWrites uint64 `json:"raft_writes"`
	// Unanswered counts the requests without a usable answer.
	Unanswered uint64 `json:"unanswered"`
	// Retries counts the pauses before a repeated request.
	Retries uint64 `json:"retries"`
	// Waiting is the number of pending acquires, and Held the number of held locks.
	Waiting uint64 `json:"waiting"`
	Held    uint64 `json:"held"`
	// Observers is the number of observers.
	Observers uint64 `json:"observers"`
	// Lost counts the lost locks.
	Lost uint64 `json:"lost"`
	// Connections is the number of open connections, and ConnectionsPeak the largest number until now.
	Connections     uint64 `json:"connections"`
	ConnectionsPeak uint64 `json:"connections_peak"`
	// Threads is the number of the library's threads for this client.
	Threads uint64 `json:"threads"`
	// Acquire is how long successful acquires took, and Hold how long locks were held.
	Acquire Times `json:"acquire_us"`
	Hold    Times `json:"hold_us"`
	// JSON is the library's whole answer. Later versions of the library may add fields.
	JSON []byte `json:"-"`
}

// Times are percentiles of durations. A percentile is at most an eighth too large.
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

// DefaultStats gives the statistics of the default client. It sends nothing.
func DefaultStats() (Stats, error) {
	if incompatible != nil {
		return Stats{}, incompatible
	}
	said := statsText(nil)
	if said == "" {
		// The library cannot make the default client. The error of another client from the environment says why.
		client, err := NewClient()
		if err != nil {
			return Stats{}, err
		}
		defer client.Close()
		said = statsText(nil)
	}
	return parseStats(said)
}

// Stats gives the statistics of this client. It sends nothing.
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
