// A file on its way to the server. XMLHttpRequest, since fetch does not say how much has left.
import { Problem, signedOut } from './api';

/** Ends with the server's answer, or throws a Problem; `stop` makes it give up (Problem 0, detail "stopped"). */
export function upload<T>(path: string, file: File, progress: (sent: number) => void): { done: Promise<T>; stop: () => void } {
  const request = new XMLHttpRequest();
  const done = new Promise<T>((resolve, reject) => {
    request.open('POST', `/api/v1${path}`);
    request.responseType = 'json';
    request.setRequestHeader('Content-Type', file.type || 'application/octet-stream');
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onabort = () => reject(new Problem(0, 'stopped'));
    request.onerror = () => reject(new Problem(0, ''));
    request.onload = () => {
      const body = request.response;
      if (request.status === 201) return resolve(body as T);
      if (request.status === 401) signedOut();
      reject(new Problem(request.status, String(body?.detail || body?.title || request.statusText), String(body?.field ?? '')));
    };
    request.send(file);
  });
  return { done, stop: () => request.abort() };
}
