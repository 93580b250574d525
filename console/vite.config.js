import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// The build goes into the binary: one script, one style sheet, nothing inlined (the page's policy forbids inline code and style sheets).
export default defineConfig({
  plugins: [svelte()],
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: true },
  server: { host: '127.0.0.1', proxy: { '/api': process.env.TODOKE_API ?? 'http://127.0.0.1:8799' } },
});
