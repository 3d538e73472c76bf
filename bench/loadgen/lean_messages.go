package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Messages of etcdserverpb by hand, as the lean client writes and reads them: the fields have the numbers of rpc.proto and kv.proto.

var errNotAMessage = errors.New("the answer is no message of protobuf")

func appendBytes(to []byte, tag byte, value string) []byte {
	to = binary.AppendUvarint(append(to, tag), uint64(len(value)))
	return append(to, value...)
}

func appendNumber(to []byte, tag byte, value int64) []byte {
	return binary.AppendUvarint(append(to, tag), uint64(value))
}

func appendRange(to []byte, key, end string, limit int64) []byte {
	to = appendBytes(to, 0x0a, key)
	if end != "" {
		to = appendBytes(to, 0x12, end)
	}
	if limit != 0 {
		to = appendNumber(to, 0x18, limit)
	}
	return to
}

func appendPut(to []byte, key, value string) []byte {
	return appendBytes(appendBytes(to, 0x0a, key), 0x12, value)
}

// appendPutIfAt is the transaction of putIfAt in requests.go.
func appendPutIfAt(to []byte, key, value string, revision int64) []byte {
	var room [512]byte
	compare := appendBytes(appendNumber(room[:0], 0x10, 2), 0x1a, key) // target MOD, result EQUAL (0)
	compare = appendNumber(compare, 0x30, revision)
	to = appendBytes(to, 0x0a, string(compare))
	put := appendBytes(room[:0], 0x12, string(appendPut(nil, key, value)))
	to = appendBytes(to, 0x12, string(put))
	get := appendBytes(room[:0], 0x0a, string(appendRange(nil, key, "", 0)))
	return appendBytes(to, 0x1a, string(get))
}

func prefixEnd(prefix string) string {
	end := []byte(prefix)
	end[len(end)-1]++
	return string(end)
}

// nextField takes one field off a message; `value` is that of a varint, `bytes` that of a length-delimited one.
func nextField(message []byte) (tag byte, value uint64, bytes, rest []byte, err error) {
	tag = message[0]
	value, n := binary.Uvarint(message[1:])
	if n <= 0 {
		return 0, 0, nil, nil, errNotAMessage
	}
	rest = message[1+n:]
	switch tag & 7 {
	case 0:
		return tag, value, nil, rest, nil
	case 2:
		if value > uint64(len(rest)) {
			return 0, 0, nil, nil, errNotAMessage
		}
		return tag, value, rest[:value], rest[value:], nil
	}
	return 0, 0, nil, nil, errNotAMessage
}

// expectKeys checks that a RangeResponse has so many KeyValues.
func expectKeys(message []byte, want int) error {
	found := 0
	for len(message) > 0 {
		tag, _, _, rest, err := nextField(message)
		if err != nil {
			return err
		}
		if tag == 0x12 {
			found++
		}
		message = rest
	}
	if found != want {
		return fmt.Errorf("%d keys instead of %d", found, want)
	}
	return nil
}

// modRevision is that of the first KeyValue of a RangeResponse; 0: there is none.
func modRevision(message []byte) (int64, error) {
	for len(message) > 0 {
		tag, _, kv, rest, err := nextField(message)
		if err != nil {
			return 0, err
		}
		for tag == 0x12 && len(kv) > 0 {
			field, value, _, more, err := nextField(kv)
			if err != nil {
				return 0, err
			}
			if field == 0x18 {
				return int64(value), nil
			}
			kv = more
		}
		message = rest
	}
	return 0, nil
}

func txnSucceeded(message []byte) (bool, error) {
	for len(message) > 0 {
		tag, value, _, rest, err := nextField(message)
		if err != nil {
			return false, err
		}
		if tag == 0x10 {
			return value == 1, nil
		}
		message = rest
	}
	return false, nil
}
