package kvroute

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"strings"
)

// readIdentity returns what the servers are shown, and checked with, from one PEM file: the certificate and its chain,
// its key, and then the authorities.
func readIdentity(name string) (*tls.Config, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var certificate, key, authorities []byte
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		encoded := pem.EncodeToMemory(block)
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			key = append(key, encoded...)
		case block.Type != "CERTIFICATE":
		case key == nil:
			certificate = append(certificate, encoded...)
		default:
			authorities = append(authorities, encoded...)
		}
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return nil, errors.New("there is no authority behind the key")
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots}, nil
}

// trust has transport trust the authorities in texts, which are PEM or names of files, beside those of its identity or, if
// it has none, instead of those of the system, as Traefik does.
func trust(transport *http.Transport, texts []string) error {
	config := tlsConfigOf(transport)
	if config.RootCAs == nil {
		config.RootCAs = x509.NewCertPool()
	}
	for _, text := range texts {
		authorities := []byte(text)
		if !strings.Contains(text, "-----BEGIN") {
			read, err := os.ReadFile(text)
			if err != nil {
				return err
			}
			authorities = read
		}
		if !config.RootCAs.AppendCertsFromPEM(authorities) {
			return errors.New("there is no certificate in one of them")
		}
	}
	return nil
}

func tlsConfigOf(transport *http.Transport) *tls.Config {
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{}
	}
	return transport.TLSClientConfig
}
