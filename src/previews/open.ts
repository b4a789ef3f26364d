import type { RoleConfig } from '../config.ts';
import { createListener } from '../postgres/listener.ts';
import type { PreviewReceiver, PreviewSender } from '../previews.ts';
import { receivePostgresPreviews, sendPostgresPreviews } from './postgres.ts';
import { receivePreviews, sendPreviews } from './socket.ts';

/** Opens the receiving end where the settings say that previews pass. */
export async function openPreviewReceiver(bus: RoleConfig['bus']): Promise<PreviewReceiver> {
  if (!('url' in bus)) return await receivePreviews(bus);
  const listener = createListener(bus.url);
  const receiver = receivePostgresPreviews(listener);
  return {
    listen: receiver.listen,
    close: async () => {
      await receiver.close();
      await listener.close();
    },
  };
}

/** Opens the sending end where the settings say that previews pass. */
export function openPreviewSender(bus: RoleConfig['bus']): PreviewSender {
  if (!('url' in bus)) return sendPreviews(bus);
  const listener = createListener(bus.url);
  const sender = sendPostgresPreviews(listener);
  return {
    send: sender.send,
    close: () => {
      sender.close();
      void listener.close();
    },
  };
}
