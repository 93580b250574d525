import { mount } from 'svelte';
import App from './App.svelte';
import { start } from './lib/session.svelte';
import { followAddress } from './lib/place.svelte';
import { token } from './lib/route.js';
import { showTheme } from './lib/theme.svelte';
import './tokens.css';
import './base.css';

showTheme();
window.addEventListener('hashchange', () => (token(location.hash) ? void start() : followAddress()));
void start();
mount(App, { target: document.getElementById('app')! });
