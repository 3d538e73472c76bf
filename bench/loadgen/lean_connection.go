package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"golang.org/x/net/http2/hpack"
)

const (
	leanFrameHead = 9
	// What the server may send: all that one answer has, and on the connection so much before it is told of more.
	leanStreamWindow     = 64 << 20
	leanConnectionWindow = 1 << 30
	leanBufferBytes      = 256 << 10
	// What a server takes in bytes that has said nothing else.
	defaultWindow = 65535
	maxFrameBytes = 16384
	grpcPrefix    = 5
	// SETTINGS_INITIAL_WINDOW_SIZE.
	settingWindowSize = 4

	rangePath = "/etcdserverpb.KV/Range"
	putPath   = "/etcdserverpb.KV/Put"
	txnPath   = "/etcdserverpb.KV/Txn"
)

const (
	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	framePing         = 6
	frameGoAway       = 7
	frameWindowUpdate = 8

	flagEndStream  = 1
	flagAck        = 1
	flagEndHeaders = 4
	flagPadded     = 8
)

type leanConnection struct {
	*load
	conn    net.Conn
	reader  *bufio.Reader
	writer  *bufio.Writer
	clients map[uint32]*leanClient
	held    []heldCall
	nextID  uint32

	authority string
	headers   []byte
	encoder   *hpack.Encoder
	blocks    map[string][]byte
	decoder   *hpack.Decoder
	status    string
	statuses  map[string]string
	// In bytes: what the connection may send, what a new stream may, and what was read that the server does not know of yet.
	sendWindow   int
	streamWindow int
	unread       int

	// on takes a frame, ended the answer of a call; beforeRead runs whenever nothing is left to be done but to wait for more.
	on         func(kind, flags byte, id uint32, payload []byte) error
	ended      func(client *leanClient) error
	beforeRead func() error

	message []byte
	began   time.Time
	own     []float64
	failed  *failures
}

func (l *load) leanConnect(endpoint string) (*leanConnection, error) {
	if parsed, err := url.Parse(endpoint); err == nil && parsed.Host != "" {
		if parsed.Scheme != "http" {
			return nil, fmt.Errorf("the lean client does not know %s", parsed.Scheme)
		}
		endpoint = parsed.Host
	}
	conn, err := net.DialTimeout("tcp", endpoint, dialTimeout)
	if err != nil {
		return nil, err
	}
	c := &leanConnection{
		load: l, conn: conn, reader: bufio.NewReaderSize(conn, leanBufferBytes), writer: bufio.NewWriterSize(conn, leanBufferBytes),
		clients: map[uint32]*leanClient{}, nextID: 1, authority: endpoint, blocks: map[string][]byte{}, statuses: map[string]string{},
		sendWindow: defaultWindow, streamWindow: defaultWindow,
	}
	c.on, c.ended, c.beforeRead = c.onFrame, c.answered, c.writer.Flush
	c.encoder = hpack.NewEncoder(headerBytes{c})
	c.decoder = hpack.NewDecoder(4096, func(field hpack.HeaderField) {
		if field.Name == "grpc-status" {
			c.status = field.Value
		}
	})
	c.writer.WriteString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c.frame(frameSettings, 0, 0, binary.BigEndian.AppendUint32([]byte{0, settingWindowSize}, leanStreamWindow))
	c.grant(0, leanConnectionWindow-defaultWindow)
	return c, nil
}

func (c *leanConnection) frame(kind, flags byte, streamID uint32, payload []byte) {
	var head [leanFrameHead]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(payload))<<8|uint32(kind))
	head[4] = flags
	binary.BigEndian.PutUint32(head[5:], streamID)
	c.writer.Write(head[:])
	c.writer.Write(payload)
}

// send writes a message of gRPC; the caller has seen to it that the server takes so much. The flags are those of its last frame.
func (c *leanConnection) send(id uint32, flags byte, message []byte) error {
	var head [leanFrameHead + grpcPrefix]byte
	binary.BigEndian.PutUint32(head[5:], id)
	binary.BigEndian.PutUint32(head[10:], uint32(len(message)))
	c.sendWindow -= grpcPrefix + len(message)
	for start := head[:]; ; start = head[:leanFrameHead] {
		prefix := len(start) - leanFrameHead
		part := message[:min(len(message), maxFrameBytes-prefix)]
		message = message[len(part):]
		binary.BigEndian.PutUint32(head[:], uint32(prefix+len(part))<<8|frameData)
		if len(message) == 0 {
			head[4] = flags
		}
		c.writer.Write(start)
		if _, err := c.writer.Write(part); err != nil || len(message) == 0 {
			return err
		}
	}
}

// grant tells the server that it may send so many more bytes on a stream or, 0, on the connection.
func (c *leanConnection) grant(id uint32, bytes int) {
	c.frame(frameWindowUpdate, 0, id, binary.BigEndian.AppendUint32(nil, uint32(bytes)))
}

func (c *leanConnection) peek(bytes int) ([]byte, error) {
	if c.reader.Buffered() < bytes {
		if err := c.beforeRead(); err != nil {
			return nil, err
		}
	}
	return c.reader.Peek(bytes)
}

func (c *leanConnection) readFrame() error {
	head, err := c.peek(leanFrameHead)
	if err != nil {
		return err
	}
	length := int(binary.BigEndian.Uint32(head) >> 8)
	kind, flags, id := head[3], head[4], binary.BigEndian.Uint32(head[5:])
	c.reader.Discard(leanFrameHead)
	if length > leanBufferBytes {
		return fmt.Errorf("a frame of %d bytes", length)
	}
	// Valid until the next read, and with it all that is made of it here.
	payload, err := c.peek(length)
	if err != nil {
		return err
	}
	if flags&flagPadded != 0 && (kind == frameData || kind == frameHeaders) {
		return fmt.Errorf("a padded frame of type %d", kind)
	}
	err = c.on(kind, flags, id, payload)
	c.reader.Discard(length)
	return err
}

func (c *leanConnection) onFrame(kind, flags byte, id uint32, payload []byte) error {
	switch kind {
	case frameData:
		if c.unread += len(payload); c.unread > leanConnectionWindow/2 {
			c.grant(0, c.unread)
			c.unread = 0
		}
		client := c.clients[id]
		if client == nil {
			return fmt.Errorf("DATA on stream %d", id)
		}
		client.answer = append(client.answer, payload...)
		if flags&flagEndStream != 0 {
			return errors.New("an answer without trailers")
		}
	case frameHeaders:
		client := c.clients[id]
		if client == nil || flags&flagEndHeaders == 0 {
			return fmt.Errorf("HEADERS on stream %d with flags %x", id, flags)
		}
		if err := c.fields(payload); err != nil {
			return err
		}
		if flags&flagEndStream != 0 {
			client.status = c.status
			delete(c.clients, id)
			return c.ended(client)
		}
	case frameSettings:
		if flags&flagAck == 0 {
			c.settings(payload)
			c.frame(frameSettings, flagAck, 0, nil)
		}
	case framePing:
		if flags&flagAck == 0 {
			c.frame(framePing, flagAck, 0, payload)
		}
	case frameWindowUpdate:
		if id == 0 {
			c.sendWindow += int(binary.BigEndian.Uint32(payload))
			return c.release()
		}
	case frameReset:
		if c.clients[id] != nil {
			return fmt.Errorf("stream %d was reset with %d", id, binary.BigEndian.Uint32(payload))
		}
	case frameGoAway:
		return fmt.Errorf("GOAWAY %q", payload)
	default:
		return fmt.Errorf("a frame of type %d", kind)
	}
	return nil
}

func (c *leanConnection) settings(payload []byte) {
	for ; len(payload) >= 6; payload = payload[6:] {
		if binary.BigEndian.Uint16(payload) == settingWindowSize {
			c.streamWindow = int(binary.BigEndian.Uint32(payload[2:]))
		}
	}
}
