package kvroute

import (
	"strconv"
	"strings"
)

// compareRevisions returns -1 if revision a is older than b, 0 if they are equally old, and 1 if a is newer.
//
// A revision is TERM-WRITER.NUMBER, where the term is a hexadecimal number and the number a decimal one. They are
// ordered by term, then writer, then number. Any other text counts as the writer of term 0, with number 0.
func compareRevisions(a, b string) int {
	termA, writerA, numberA := parseRevision(a)
	termB, writerB, numberB := parseRevision(b)
	if termA != termB {
		return compareNumbers(termA, termB)
	}
	if writerA != writerB {
		return strings.Compare(writerA, writerB)
	}
	return compareNumbers(numberA, numberB)
}

func parseRevision(text string) (term uint64, writer string, number uint64) {
	dash := strings.IndexByte(text, '-')
	dot := strings.LastIndexByte(text, '.')
	if dash < 0 || dot < dash {
		return 0, text, 0
	}
	term, err := strconv.ParseUint(text[:dash], 16, 64)
	if err != nil {
		return 0, text, 0
	}
	number, err = strconv.ParseUint(text[dot+1:], 10, 64)
	if err != nil {
		return 0, text, 0
	}
	return term, text[dash+1 : dot], number
}

func compareNumbers(a, b uint64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}
