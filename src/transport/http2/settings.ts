/** The settings of a peer (RFC 9113, 6.5), and our own as a frame. */
import { defaultTableBytes } from '../hpack/dynamic-table.ts';
import {
  ConnectionError,
  ErrorCode,
  FrameType,
  frame,
  frameBytesDefault,
  frameBytesMost,
  SettingId,
  windowBytesDefault,
  windowBytesMost,
} from './frame.ts';

const settingBytes = 6;

/** What the peer has said that matters here. The other settings limit what nobody uses here: push, concurrent streams. */
export interface PeerSettings {
  /** The smallest it has ever said: once is enough for HPACK to do without. */
  headerTableBytes: number;
  initialWindowBytes: number;
  frameBytesMax: number;
}

export function defaultPeerSettings(): PeerSettings {
  return {
    headerTableBytes: defaultTableBytes,
    initialWindowBytes: windowBytesDefault,
    frameBytesMax: frameBytesDefault,
  };
}

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(settings.length * settingBytes);
  settings.forEach(([id, value], i) => {
    payload.writeUInt16BE(id, i * settingBytes);
    payload.writeUInt32BE(value, i * settingBytes + 2);
  });
  return frame(FrameType.SETTINGS, 0, 0, payload);
}

/** Applies the payload of a SETTINGS frame, in its order. Throws ConnectionError for values that 6.5.2 forbids. */
export function applySettings(settings: PeerSettings, bytes: Buffer, start: number, end: number): void {
  if ((end - start) % settingBytes !== 0) {
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'SETTINGS of a length that is no multiple of 6');
  }
  for (let at = start; at < end; at += settingBytes) {
    const id = bytes.readUInt16BE(at);
    const value = bytes.readUInt32BE(at + 2);
    if (id === SettingId.HEADER_TABLE_SIZE) {
      settings.headerTableBytes = Math.min(settings.headerTableBytes, value);
    } else if (id === SettingId.ENABLE_PUSH) {
      if (value > 1) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'ENABLE_PUSH is 0 or 1');
    } else if (id === SettingId.INITIAL_WINDOW_SIZE) {
      if (value > windowBytesMost) {
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'INITIAL_WINDOW_SIZE above 2^31-1');
      }
      settings.initialWindowBytes = value;
    } else if (id === SettingId.MAX_FRAME_SIZE) {
      if (value < frameBytesDefault || value > frameBytesMost) {
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'MAX_FRAME_SIZE outside 2^14 to 2^24-1');
      }
      settings.frameBytesMax = value;
    }
  }
}
