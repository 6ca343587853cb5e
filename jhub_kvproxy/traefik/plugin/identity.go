package kvroute

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
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
