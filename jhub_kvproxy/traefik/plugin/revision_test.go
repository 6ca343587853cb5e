package kvroute

import "testing"

func TestRevisionsAreInOrder(t *testing.T) {
	// From the oldest to the newest; those in one line are equally old.
	order := [][]string{
		{""},
		{"1-.1.x", "1-.1.x"},
		{"1.2"},
		{"18446744073709551616-a.1"},
		{"1f-a"},
		{"fffffffffffffffff-a.1"},
		{"g-a.1"},
		{"1-a.1", "0001-a.01"},
		{"1-a.9"},
		{"1-a.10"},
		{"1-a.18446744073709551615"},
		{"1-a-b.3"},
		{"1-b.1"},
		{"2-a.1"},
		{"a-a.1", "A-a.1"},
		{"10-a.1"},
		{"ffffffffffffffff-a.1"},
	}
	for i, a := range order {
		for j, b := range order {
			wanted := 0
			if i < j {
				wanted = -1
			} else if i > j {
				wanted = 1
			}
			for _, x := range a {
				for _, y := range b {
					if got := compareRevisions(x, y); got != wanted {
						t.Errorf("%q and %q: got %d, wanted %d", x, y, got, wanted)
					}
				}
			}
		}
	}
}

func TestWhatIsNoRevisionIsOlderThanAnyWithATerm(t *testing.T) {
	for _, text := range []string{"", "x", "1", "-", ".", "-.", "1-", "1-a", "1.2", ".1-a", "1-a.", "1-a.x", "1-a.-1", "-1-a.1", "+1-a.1", "1_0-a.1", "0x1-a.1"} {
		equal(t, text, compareRevisions(text, "1-a.1"), -1)
	}
}
