package kvroute

import (
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"time"
)

// started is what times of use count from. Its clock is monotonic.
var started = time.Now()

type contextKey string

const usedKey contextKey = "kvproxy used"

// noteUse lets noteAnswer know whose route a request uses; e may be nil.
func noteUse(pr *httputil.ProxyRequest, e *entry) {
	if e != nil {
		pr.Out = pr.Out.WithContext(context.WithValue(pr.Out.Context(), usedKey, e))
	}
}

// noteAnswer notes the use of a route: a successful answer to a request, and then what flows in it, if it may take long,
// or on a websocket. A flood of requests that fail is no use, nor is one that no server answers.
func noteAnswer(response *http.Response) error {
	used, ok := response.Request.Context().Value(usedKey).(*entry)
	if !ok || response.StatusCode >= 300 {
		return nil
	}
	used.touch()
	if connection, ok := response.Body.(io.ReadWriteCloser); ok && response.StatusCode == http.StatusSwitchingProtocols {
		var noted io.ReadWriteCloser = &traffic{connection: connection, used: used}
		response.Body = noted
	} else if response.ContentLength < 0 {
		var noted io.ReadCloser = &stream{body: response.Body, used: used}
		response.Body = noted
	}
	return nil
}

func (e *entry) touch() {
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

// stream is the body of an answer of unknown length.
type stream struct {
	body io.ReadCloser
	used *entry
}

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.body.Read(b)
	s.used.touch()
	return n, err
}

func (s *stream) Close() error {
	return s.body.Close()
}

// traffic is the connection to a server after an upgrade. What flows on it, in either direction, is use of a route.
type traffic struct {
	connection io.ReadWriteCloser
	used       *entry
}

func (t *traffic) Read(b []byte) (int, error) {
	n, err := t.connection.Read(b)
	t.used.touch()
	return n, err
}

func (t *traffic) Write(b []byte) (int, error) {
	t.used.touch()
	return t.connection.Write(b)
}

func (t *traffic) Close() error {
	return t.connection.Close()
}
