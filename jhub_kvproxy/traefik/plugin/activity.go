package kvroute

import (
	"io"
	"sync/atomic"
	"time"
)

// started is what times of use count from. Its clock is monotonic.
var started = time.Now()

func (e *entry) noteUse() {
	// Never 0, which is no use.
	atomic.StoreInt64(&e.lastUse, time.Since(started).Milliseconds()+1)
}

// agesOfUse returns the seconds since the last use of each route that was used.
func agesOfUse() map[string]float64 {
	ages := map[string]float64{}
	now := time.Since(started).Milliseconds() + 1
	entries.Range(func(key, value any) bool {
		if at := atomic.LoadInt64(&value.(*entry).lastUse); at > 0 {
			if at > now {
				at = now
			}
			ages[key.(string)] = float64(now-at) / 1000
		}
		return true
	})
	return ages
}

// traffic is the connection to a server after an upgrade. What flows on it, in either direction, is use of a route.
type traffic struct {
	connection io.ReadWriteCloser
	used       *entry
}

func (t *traffic) Read(b []byte) (int, error) {
	n, err := t.connection.Read(b)
	t.used.noteUse()
	return n, err
}

func (t *traffic) Write(b []byte) (int, error) {
	t.used.noteUse()
	return t.connection.Write(b)
}

func (t *traffic) Close() error {
	return t.connection.Close()
}
