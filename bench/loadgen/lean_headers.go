package main

import "golang.org/x/net/http2/hpack"

type headerBytes struct{ c *leanConnection }

func (h headerBytes) Write(p []byte) (int, error) {
	h.c.headers = append(h.c.headers, p...)
	return len(p), nil
}

// block is the header block of a call. Once all its fields are in the table that both ends keep, it is always the same.
func (c *leanConnection) block(path string) []byte {
	if known, ok := c.blocks[path]; ok {
		return known
	}
	c.headers = c.headers[:0]
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", c.authority},
		{"content-type", "application/grpc"}, {"user-agent", "grpc-go/1.83.2"}, {"te", "trailers"}, {"client-api-version", "3.7"},
	} {
		c.encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	block := append([]byte(nil), c.headers...)
	if changesTable(block) {
		clear(c.blocks)
	} else {
		c.blocks[path] = block
	}
	return block
}

// changesTable says whether a header block has anything but references to the table and fields that are not to be remembered.
func changesTable(block []byte) bool {
	for len(block) > 0 {
		first := block[0]
		switch {
		case first >= 0x80: // indexed
			block = skipInteger(block, 7)
		case first >= 0x20: // literal to be remembered, or a new size of the table
			return true
		default:
			named := first&0x0f != 0
			block = skipInteger(block, 4)
			if !named {
				block = skipString(block)
			}
			block = skipString(block)
		}
	}
	return false
}

func skipInteger(block []byte, prefixBits int) []byte {
	full := byte(1<<prefixBits - 1)
	if block[0]&full != full {
		return block[1:]
	}
	block = block[1:]
	for len(block) > 0 && block[0] >= 0x80 {
		block = block[1:]
	}
	return block[1:]
}

func skipString(block []byte) []byte {
	length := int(block[0] & 0x7f)
	rest := skipInteger(block, 7)
	if length == 0x7f {
		shift := 0
		for _, b := range block[1 : len(block)-len(rest)] {
			length += int(b&0x7f) << shift
			shift += 7
		}
	}
	return rest[length:]
}

// fields finds grpc-status. Blocks that do not change the table mean the same as long as nothing else changes it.
func (c *leanConnection) fields(block []byte) error {
	if status, ok := c.statuses[string(block)]; ok {
		c.status = status
		return nil
	}
	c.status = ""
	if _, err := c.decoder.Write(block); err != nil {
		return err
	}
	if err := c.decoder.Close(); err != nil {
		return err
	}
	if changesTable(block) {
		clear(c.statuses)
	} else {
		c.statuses[string(block)] = c.status
	}
	return nil
}
