package kvroute

import (
	"context"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// transportKey is all that makes one transport differ from another.
type transportKey struct {
	dialTimeout     int
	responseTimeout int
	idleTimeout     int
	identityFile    string
}

type keptTransport struct {
	key       transportKey
	transport *http.Transport
}

// mostTransports is how many transports are kept, for when Traefik makes its middlewares anew.
const mostTransports = 4

var (
	transportsLock sync.Mutex
	// transports has the newest one last.
	transports []keptTransport
)

// transportFor returns the transport for config, the same one for equal configurations. If the identity cannot be
// read, it returns the newest transport there is.
func transportFor(config *Config) *http.Transport {
	key := transportKey{config.DialTimeout, config.ResponseTimeout, config.IdleTimeout, config.IdentityFile}
	transportsLock.Lock()
	defer transportsLock.Unlock()
	for _, kept := range transports {
		if kept.key == key {
			return kept.transport
		}
	}
	made := newTransport(key)
	if key.identityFile != "" {
		identity, err := readIdentity(key.identityFile)
		if err != nil {
			log.Printf("kvroute: the identity in %s cannot be used: %v", key.identityFile, err)
			if len(transports) > 0 {
				return transports[len(transports)-1].transport
			}
			return made
		}
		made.TLSClientConfig = identity
	}
	transports = append(transports, keptTransport{key, made})
	for _, old := range transports[:len(transports)-1] {
		old.transport.CloseIdleConnections()
	}
	if len(transports) > mostTransports {
		transports = append([]keptTransport{}, transports[1:]...)
	}
	return made
}

func newTransport(key transportKey) *http.Transport {
	dialer := &net.Dialer{Timeout: milliseconds(key.dialTimeout), KeepAlive: 30 * time.Second}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
		MaxIdleConnsPerHost:   200,
		IdleConnTimeout:       milliseconds(key.idleTimeout),
		ResponseHeaderTimeout: milliseconds(key.responseTimeout),
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		ReadBufferSize:        64 * 1024,
		WriteBufferSize:       64 * 1024,
		// Servers get the header Accept-Encoding as it came.
		DisableCompression: true,
	}
	registerNoting(transport, "http")
	registerNoting(transport, "https")
	return transport
}

func milliseconds(n int) time.Duration {
	return time.Duration(n) * time.Millisecond
}
