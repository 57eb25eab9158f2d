// The simplest bot on discord.js: /reload defers, asks the model API, edits every 5 s, and pings.

import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Events, GatewayIntentBits, SlashCommandBuilder } from 'discord.js';

const SECONDS = Number(process.env.RELOAD_SECONDS);
const EVERY = 5;
const URL = `${process.env.MODEL_API_URL}/api/v4/dreambooth/model_reload`;
const KEY = process.env.MODEL_API_KEY;

const client = new Client({
  intents: [GatewayIntentBits.Guilds],
  allowedMentions: { parse: ['users'] },
  rest: { api: process.env.DISCORD_API_URL.replace(/\/v10$/, '') },
});

client.once(Events.ClientReady, async () => {
  const command = new SlashCommandBuilder().setName('reload').setDescription('Wake up a model');
  command.addStringOption((option) => option.setName('model_id').setDescription('The model').setRequired(true));
  await client.application.commands.set([command]);
});

client.on(Events.InteractionCreate, async (interaction) => {
  if (!interaction.isChatInputCommand()) return;
  try {
    await reload(interaction, interaction.options.getString('model_id', true));
  } catch (error) {
    console.error('a reload failed', error);
  }
});

// From the command to the ping.
async function reload(interaction, model) {
  await interaction.deferReply();
  const response = await fetch(URL, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ key: KEY, model_id: model }),
  });
  const answer = await response.json();
  if (answer.status !== 'success') {
    await show(interaction, `\`${model}\` was not reloaded: ${answer.message}`);
    return;
  }
  const ends = performance.now() + SECONDS * 1000;
  for (let left; (left = ends - performance.now()) > 0; ) {
    await show(interaction, `Reloading \`${model}\`: ${Math.round(left / 1000)} s left`);
    await sleep(Math.max(0, Math.min(EVERY * 1000, ends - performance.now())));
  }
  await show(interaction, `**Ready** \`${model}\``);
  await interaction.channel.send(`${interaction.user} \`${model}\` is ready`);
}

// One edit; what becomes of it must not cost the ping.
async function show(interaction, text) {
  try {
    await interaction.editReply(text);
  } catch (error) {
    console.error('an edit failed', error);
  }
}

await client.login(process.env.DISCORD_TOKEN);
