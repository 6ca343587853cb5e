package kvroute

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// message is what the pusher sends: a snapshot, or what has changed since the revision `from`.
type message struct {
	from     string
	revision string
	form     string
	// put is nil if the message does not have it.
	put    map[string]*entry
	remove []string
	// badKey is that of the route that is none, if isRouteBad.
	badKey     string
	isRouteBad bool
}

// readMessage reads all of a message and checks it. It takes no field and no route twice; fields that it does not know
// are ignored, because a newer hub may send them.
func readMessage(body io.Reader) (*message, error) {
	m := &message{}
	decoder := json.NewDecoder(body)
	if err := readDelim(decoder, '{'); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for decoder.More() {
		name, err := readText(decoder)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, fmt.Errorf("the message has %q twice", name)
		}
		seen[name] = true
		if err := m.readField(decoder, name); err != nil {
			// It tells which route is none.
			return m, err
		}
	}
	if err := readDelim(decoder, '}'); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something follows the message")
	}
	if m.revision == "" {
		return nil, errors.New("the message has no revision")
	}
	return m, nil
}

func (m *message) readField(decoder *json.Decoder, name string) error {
	switch name {
	case "from":
		return cutOff(decoder.Decode(&m.from))
	case "revision":
		return cutOff(decoder.Decode(&m.revision))
	case "form":
		return cutOff(decoder.Decode(&m.form))
	case "delete":
		return m.readKeys(decoder)
	case "put":
		return m.readRoutes(decoder)
	}
	var unknown json.RawMessage
	return cutOff(decoder.Decode(&unknown))
}

// readKeys refuses null, which Go would take for the key of the default route.
func (m *message) readKeys(decoder *json.Decoder) error {
	keys := []*string{}
	if err := decoder.Decode(&keys); err != nil {
		return cutOff(err)
	}
	for _, key := range keys {
		if key == nil {
			return errors.New("the message has null where the key of a route is wanted")
		}
		m.remove = append(m.remove, *key)
	}
	return nil
}

func (m *message) readRoutes(decoder *json.Decoder) error {
	m.put = map[string]*entry{}
	if err := readDelim(decoder, '{'); err != nil {
		return err
	}
	for decoder.More() {
		key, err := readText(decoder)
		if err != nil {
			return err
		}
		if m.put[key] != nil {
			return fmt.Errorf("the message has the route %q twice", key)
		}
		r := route{}
		if err := decoder.Decode(&r); err != nil {
			return fmt.Errorf("route %q: %w", key, cutOff(err))
		}
		if old, ok := entries.Load(key); ok && old.(*entry).route == r {
			// What was checked once need not be checked again.
			m.put[key] = old.(*entry)
			continue
		}
		e, err := newEntry(key, r)
		if err != nil {
			m.badKey, m.isRouteBad = key, true
			return fmt.Errorf("route %q: %w", key, err)
		}
		// The interpreter does not do this when it is part of a multiple assignment.
		m.put[key] = e
	}
	return readDelim(decoder, '}')
}

func readDelim(decoder *json.Decoder, wanted rune) error {
	token, err := decoder.Token()
	if err != nil {
		return cutOff(err)
	}
	if delim, ok := token.(json.Delim); !ok || rune(delim) != wanted {
		return fmt.Errorf("the message has %v where %q is wanted", token, wanted)
	}
	return nil
}

func readText(decoder *json.Decoder) (string, error) {
	token, err := decoder.Token()
	if err != nil {
		return "", cutOff(err)
	}
	text, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("the message has %v where a name is wanted", token)
	}
	return text, nil
}

// cutOff returns err, in words if it is that there was no more to read.
func cutOff(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the message is cut off")
	}
	return err
}
