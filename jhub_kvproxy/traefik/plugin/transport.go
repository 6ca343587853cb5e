package kvroute

import (
	"context"
	"log"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"
)

// transportKey is all that makes one transport differ from another.
type transportKey struct {
	dialTimeout     int
	responseTimeout int
	idleTimeout     int
	identityFile    string
	identityHash    string
	insecure        bool
	// rootCAs are separated by newlines.
	rootCAs             string
	maxIdleConnsPerHost int
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

// transportFor returns the transport for config, the same one for equal configurations. If the identity cannot be used, it
// returns the newest transport that has one, or one without if there is none, and says so in Traefik's log.
func transportFor(config *Config) *http.Transport {
	key := transportKey{
		dialTimeout:         config.DialTimeout,
		responseTimeout:     config.ResponseTimeout,
		idleTimeout:         config.IdleTimeout,
		identityFile:        config.IdentityFile,
		identityHash:        config.IdentityHash,
		insecure:            config.Insecure,
		rootCAs:             strings.Join(config.RootCAs, "\n"),
		maxIdleConnsPerHost: config.MaxIdleConnsPerHost,
	}
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
			return newestWithIdentity(made)
		}
		made.TLSClientConfig = identity
	}
	if len(config.RootCAs) > 0 {
		if err := trust(made, config.RootCAs); err != nil {
			log.Printf("kvroute: serversTransport.rootCAs cannot be used: %v", err)
		}
	}
	if key.insecure {
		tlsConfigOf(made).InsecureSkipVerify = true
	}
	for _, replaced := range transports {
		replaced.transport.CloseIdleConnections()
	}
	transports = append(transports, keptTransport{key, made})
	if len(transports) > mostTransports {
		transports = append([]keptTransport{}, transports[1:]...)
	}
	return made
}

func newestWithIdentity(otherwise *http.Transport) *http.Transport {
	for i := len(transports) - 1; i >= 0; i-- {
		if transports[i].key.identityFile != "" {
			return transports[i].transport
		}
	}
	return otherwise
}

// newTransport returns a transport as Traefik's own, but one that speaks HTTP/1.1 only.
func newTransport(key transportKey) *http.Transport {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           nativeDial(&net.Dialer{Timeout: milliseconds(key.dialTimeout), KeepAlive: 30 * time.Second}),
		MaxIdleConnsPerHost:   key.maxIdleConnsPerHost,
		IdleConnTimeout:       milliseconds(key.idleTimeout),
		ResponseHeaderTimeout: milliseconds(key.responseTimeout),
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		// Servers get the header Accept-Encoding as it came.
		DisableCompression: true,
	}
	if transport.MaxIdleConnsPerHost == 0 {
		transport.MaxIdleConnsPerHost = 200
	}
	return transport
}

type dialFunction = func(ctx context.Context, network, address string) (net.Conn, error)

// nativeDial returns the method DialContext of dialer. The interpreter does not take it as a value; a function of ours
// around it would be interpreted, in a goroutine where a panic ends Traefik.
func nativeDial(dialer *net.Dialer) dialFunction {
	return reflect.ValueOf(dialer).MethodByName("DialContext").Interface().(dialFunction)
}

func milliseconds(n int) time.Duration {
	return time.Duration(n) * time.Millisecond
}
